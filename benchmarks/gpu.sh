#!/usr/bin/env bash
# All measurements that are wanted on a GPU, in stages of at most nine minutes:
#
#   benchmarks/gpu.sh STAGE [FOLDER]      STAGE is right, ceiling, step, variants, input or faces
#
# Each measurement writes its figures and its log into FOLDER (default runs/gpu). Measurements that
# are there are not repeated, and a stage lists those that it had no time for: the same command
# resumes.
# PYTHON is the interpreter, with JAX and PyTorch. SOURCE is the archive of published faces, unless
# they are prepared in `data/`. TOY=1 tries everything in small, also on a CPU.
set -uo pipefail
cd "$(dirname "$0")/.."

stage=${1:-} folder=${2:-runs/gpu}
python=${PYTHON:-.venv/bin/python} toy=${TOY:-} limit=${LIMIT:-530} # seconds
least=40                                                            # seconds needed to start one
failed=0
export PYTHONUNBUFFERED=1
# Compiling a step takes a minute or two on a GPU, so compiled programs are kept for all stages.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$folder/compiled}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=1

left() { echo $((limit - SECONDS)); }

# run NAME COMMAND...: shows the output of the command, writes it to FOLDER/NAME.txt, and creates
# FOLDER/NAME.done when it succeeds.
run() {
  local name=$1 status=0
  shift
  if [ -e "$folder/$name.done" ]; then
    echo "== $name: done before"
    return
  elif [ "$(left)" -lt "$least" ]; then
    echo "== $name: no time left; run this stage again"
    return
  fi
  echo "== $name: $*"
  timeout --kill-after=20 "$(left)" "$@" 2>"$folder/$name.err" | tee "$folder/$name.txt" || status=$?
  case $status in
    0) touch "$folder/$name.done" ;;
    124 | 143) echo "== $name: no time left after ${SECONDS} s; run this stage again" ;;
    *)
      failed=1
      tail -n 5 "$folder/$name.err"
      echo "== $name: failed with status $status; its output is in $folder/$name.err"
      ;;
  esac
}

benchmark() { # NAME MODULE FLAGS...
  run "$1" "$python" -m "benchmarks.$2" "${@:3}" --json="$folder/$1.json"
}

# Without TF32, since the release's numbers were computed without it.
right() {
  local platform=cuda
  [ -z "$toy" ] || platform=cpu
  run parity env JAX_PLATFORMS=$platform JAX_DEFAULT_MATMUL_PRECISION=highest \
    "$python" -m pytest -q -p no:cacheprovider tests/weights/test_parity.py
  run two_steps env JAX_PLATFORMS=$platform "$python" main.py --config=configs/demo.py \
    "${small[@]}" --config.num_steps=2 --config.log_every=1 --workdir="$folder/two_steps"
}

ceiling() { benchmark ceiling ceiling --rounds="$rounds"; }

# The most important first.
step() {
  local turns=(--rounds="$rounds" --steps="$steps")
  local bfloat16=("${turns[@]}" --without=TF32 --without=base.py)
  sized step 128 64 train_step "${bfloat16[@]}"
  sized step 128 1024 train_step "${bfloat16[@]}" --without=PyTorch
  sized profile 128 1024 profile_step --precision=bfloat16
  sized step 128 256 train_step "${bfloat16[@]}" --without=PyTorch
  sized tf32 128 64 train_step "${turns[@]}" --without=bfloat16 --without=base.py
  sized step 64 64 train_step "${bfloat16[@]}"
  sized step 64 1024 train_step "${bfloat16[@]}" --without=PyTorch
  table
}

# Each variant of the step beside the step as it is.
variants() {
  local name number=0
  while read -r name; do
    number=$((number + 1))
    sized "variant_$number" 128 64 step_variants --config=base --precision="$precision" \
      --rounds="$rounds" --steps=$((8 * steps)) --only "$name"
  done < <("$python" -m benchmarks.step_variants --list)
  table
}

sized() { # NAME IMAGE_SIZE BATCH_SIZE MODULE FLAGS...
  local size=$2 batch=$3
  [ -z "$toy" ] || { size=64 batch=2; }
  benchmark "$1_${2}px_$3" "$4" --image_size="$size" --batch_size="$batch" "${@:5}"
}

table() { "$python" -m benchmarks.gpu_table "$folder"; }

input() { benchmark input input_pipeline --config="$input_config" --steps="$long" --rounds=5; }

faces() {
  train clean_128px youtubers
  train clean_64px youtubers --config.image_size=64
  train clean_300ms youtubers --config.dataset.window_samples=4800
  train clean_700ms youtubers --config.dataset.window_samples=11200
  train clean_128px_release release
  train clean_128px_paper paper
  train synthetic_128px base
}

train() { # NAME CONFIG FLAGS...
  local workdir="$folder/workdirs/$1" source=()
  [ "$2" = base ] || source=("${published[@]}")
  run "train_$1" "$python" main.py --config="configs/$2.py" --workdir="$workdir" \
    --config.eval_every=1000 --config.save_every=1000 "${@:3}" "${source[@]}" "${small[@]}"
  [ ! -e "$folder/train_$1.done" ] || run "draw_$1" \
    "$python" -m benchmarks.faces draw --workdir="$workdir" --split=test --out="$folder/faces_$1"
}

published=()
[ -z "${SOURCE:-}" ] || published=("--config.dataset.source=$SOURCE")
if [ -n "$toy" ]; then
  small=(--config.image_size=16 --config.batch_size=8 --config.dataset.name=synthetic
    --config.num_steps=4 --config.dataset.synthetic.clips_per_identity=10 --config.dataset.synthetic.face_pixels=32
    --config.model.generator_width=8 --config.model.discriminator_width=8)
  rounds=1 steps=1 long=1 precision=float32 input_config=demo
else
  small=()
  rounds=3 steps=20 long=200 precision=bfloat16 input_config=base
fi

case $stage in
  right | ceiling | step | variants | input | faces) ;;
  *)
    sed -n '2,/^set /{/^#/p}' "$0" >&2
    exit 2
    ;;
esac
mkdir -p "$folder"
"$python" -c 'import jax; print(jax.__version__, jax.devices())'
"$stage"
echo "== $stage: $SECONDS s"
exit $failed
