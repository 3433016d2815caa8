"""The contract between parts: names, shapes, dtypes, ranges and rates of the data.

A record is what a builder in `data_builders/` writes, one per pair of face and speech:

| field | dtype, shape | meaning |
| --- | --- | --- |
| `id` | bytes | unique within a dataset |
| `face` | uint8 [H, W, 3] | square crop, RGB, stored as JPEG quality 95 4:4:4 |
| `speech` | int16 [T] | 16 kHz mono as recorded, neither normalised nor pre-emphasised |
| `identity` | class label | who speaks and is seen; labels of the split `unseen` come last |
| `offset` | int32 | samples from the start of the 4 s clip to `speech[0]`; -1 if unknown |
| `instant` | int32 | index into `speech` at which the face was filmed; may lie outside |
| `instant_error` | int32 | bound of the error of `instant` in samples; 64,000 if unknown |
| `unit` | int32 | what the splits keep together: an audio group, a video or an utterance |

A raw batch is what `data/gather.py` makes of records for B examples:

| field | dtype, shape | meaning |
| --- | --- | --- |
| `speech` | int16 [B, window_samples] | as recorded, zeros where there is no more |
| `length` | int32 [B] | samples of speech in the window |
| `face`, `mismatched_face` | uint8 [B, S, S, 3] | the latter if the loss has that term |
| `further_faces` | uint8 [B, K, S, S, 3] | the speaker at other moments, if the loss needs them |
| `records` | int32 [B, 1 + K] | the number of the record of the face and of the further faces |
| `mirrored`, `mismatched_mirrored` | bool [B] | whether the face is to be mirrored |
| `further_mirrored` | bool [B, K] | the same for the further faces |
| `identity` | int32 [B] | label |
| `seed` | uint32 [B] | seed of the distortion |

A batch is what `data/augment.py` makes of it, and what the networks and losses take:

| field | dtype, shape | range |
| --- | --- | --- |
| `speech` | float32 [B, window_samples] | conditioned: [-1.95, 1.95], silence is 0 |
| `face` | float32 [B, S, S, 3] | [-1, 1], RGB |
| `mismatched_face` | float32 [B, S, S, 3] | a face of another identity, [-1, 1] |
| `further_faces` | float32 [B, K, S, S, 3] | faces of the speaker at other moments, [-1, 1] |
| `records` | int32 [B, 1 + K] | with `further_faces`: equal numbers are equal faces |
| `identity` | int32 [B] | [0, number of identities) |
"""

SAMPLE_RATE = 16_000  # Hz, of all speech (paper section 3)
CLIP_SECONDS = 4  # speech around a face: 2 s before to 2 s after (paper section 3)
CLIP_SAMPLES = CLIP_SECONDS * SAMPLE_RATE

ID = "id"
FACE = "face"
SPEECH = "speech"
IDENTITY = "identity"
OFFSET = "offset"
INSTANT = "instant"
INSTANT_ERROR = "instant_error"
UNIT = "unit"
MISMATCHED_FACE = "mismatched_face"
FURTHER_FACES = "further_faces"
RECORDS = "records"
LENGTH = "length"
MIRRORED = "mirrored"
MISMATCHED_MIRRORED = "mismatched_mirrored"
FURTHER_MIRRORED = "further_mirrored"
SEED = "seed"

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
UNSEEN = "unseen"  # identities that are in no other split

# Windows of speech in training: anywhere, or around the instant.
UNIFORM, CENTRED = "uniform", "centred"
