#!/usr/bin/env python3
"""Make the cases of this folder from the whole set of reference cases.

    python3 trim.py FROM TO

Weights, case.json, config*.json and README.md are copied as they are. Expected
files keep some of their tensors (rules below), each with the bytes it has in
the whole file; then every safetensors file is packed with gzip (no name, no
date). The whole set has 25 MB, a checkout must stay small. Needs nothing but
Python; the tests themselves do not need it.
"""
import gzip
import json
import os
import re
import struct
import sys

# case: the largest tensor kept (bytes), and what is kept whatever its size
CASES = {
    "mamba_only": (42000, "logits"),
    "mamba_dt_floor": (42000, ""),
    "real_dims": (13000, "ssm_out"),
    "attn_mlp": (42000, ""),
    "latent_moe": (33000, ""),
    "plain_moe": (33000, "logits"),
    "hybrid": (33000, "hidden.norm_f"),
    "hybrid_packed": (33000, "hidden.norm_f"),
    "decode": (1 << 30, ""),
    "train": (33000, ""),
    "mtp": (33000, ""),
}
EXPERTS = ("0", "15")  # of those only these two of a layer


def keep(name, size, rule):
    largest, always = rule
    expert = re.search(r"\.experts\.(\d+)\.", name)
    if expert and largest < 1 << 30 and expert.group(1) not in EXPERTS:
        return False
    return size <= largest or (always and name.startswith(always))


def trim(raw, rule):
    n = struct.unpack("<Q", raw[:8])[0]
    head, data = {}, b""
    for name, t in json.loads(raw[8 : 8 + n]).items():
        if name == "__metadata__":
            continue
        lo, hi = t["data_offsets"]
        if keep(name, hi - lo, rule):
            t["data_offsets"] = [len(data), len(data) + hi - lo]
            head[name] = t
            data += raw[8 + n + lo : 8 + n + hi]
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def main(source, target):
    for case, rule in CASES.items():
        os.makedirs(os.path.join(target, case), exist_ok=True)
        for name in sorted(os.listdir(os.path.join(source, case))):
            with open(os.path.join(source, case, name), "rb") as f:
                raw = f.read()
            path = os.path.join(target, case, name)
            if name.startswith("expected"):
                raw = trim(raw, rule)
            if name.endswith(".safetensors"):
                path += ".gz"
                raw = gzip.compress(raw, 9, mtime=0)
            with open(path, "wb") as f:
                f.write(raw)


main(*sys.argv[1:])
