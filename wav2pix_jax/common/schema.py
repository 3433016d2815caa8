"""The contract at every seam: names, shapes, dtypes, ranges and rates of what flows between parts.

Record (what a builder in `data_builders/` writes, one per pair of face and speech):

| field | dtype, shape | meaning |
| --- | --- | --- |
| `id` | bytes | unique within a dataset |
| `face` | uint8 [H, W, 3] | square crop, RGB, stored as JPEG quality 95 4:4:4 |
| `speech` | int16 [T] | 16 kHz mono as recorded, neither normalised nor pre-emphasised |
| `identity` | class label | who speaks and is seen; those of the split `unseen` come last |
| `offset` | int32 | samples from the start of the 4 s clip to `speech[0]`; -1 when unknown |
| `instant` | int32 | index into `speech` at which the face was filmed; may lie outside |
| `instant_error` | int32 | the true instant is at most so many samples away; 0 when exact |
| `unit` | int32 | what the splits keep together: an audio group, a video or an utterance |

Example (what `data.py` makes of records) and batch (the same with B in front):

| field | dtype, shape | range |
| --- | --- | --- |
| `speech` | float32 [window_samples] | conditioned: [-1.95, 1.95], silence is 0 |
| `face` | float32 [S, S, 3] | [-1, 1], RGB |
| `mismatched_face` | float32 [S, S, 3] | another identity's, if the loss has that term, [-1, 1] |
| `identity` | int32 [] | [0, number of identities) |
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

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
UNSEEN = "unseen"  # identities that are in no other split
