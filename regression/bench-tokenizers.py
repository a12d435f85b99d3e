"""The `tokenizers` package's side of bench-tokenizers.sh: one batch call.

Prints: bytes, ids, seconds of CPU time, SHA-256 of the ids."""
import array
import hashlib
import json
import os
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer

path = sys.argv[1]
if os.path.isdir(path):
    path = os.path.join(path, "tokenizer.json")
tok = Tokenizer.from_file(path)
texts = []
for name in sys.argv[2:]:
    with open(name, encoding="utf-8") as f:
        texts += [json.loads(line)["text"] for line in f]
start = time.process_time()
out = tok.encode_batch(texts, add_special_tokens=False)
seconds = time.process_time() - start
h = hashlib.sha256()
for e in out:
    h.update(array.array("i", e.ids).tobytes())
print(sum(len(t.encode()) for t in texts), sum(len(e.ids) for e in out),
      "%.6f" % seconds, h.hexdigest())
