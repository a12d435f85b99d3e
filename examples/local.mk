# examples: scripts with their decks and data; they run from a checkout or an
# unpacked release, where regression/setup.sh is.
EXTRA_DIST += \
  examples/quickstart.sh \
  examples/quickstart/prepare.nml examples/quickstart/train.nml \
  examples/quickstart/generate.nml \
  examples/data/README \
  examples/data/novels_train.jsonl.gz examples/data/novels_valid.jsonl.gz \
  examples/data/tokenizer/tokenizer.json \
  examples/data/tokenizer/tokenizer_config.json
