#!/bin/sh
# context.sh: long rows cut over cp: what a rank keeps, and what is sent.
. "$(dirname "$0")/lib.sh"

deck=$here/decks/dense.nml

# arenas RANKS: MiB that rank 0 used for one row of 16384 tokens.
arenas() {
  need "$@" "$deck" data.seq_len=16384 data.global_batch=1 data.valid="''" \
    optim.n_steps=1 ckpt.save_every=0 log.plot=.false. job.dir=run \
    model.pattern="$pattern" grid.cp="$1"
  sed -n 's/^memory of rank 0: arenas \([0-9.]*\) MiB used.*/\1/p' out
}

for pattern in '*-*-' 'M*-M'; do
  one=$(arenas 1)
  four=$(arenas 4)
  name="$pattern, 16384 tokens: activations of a rank on 4 are at most 0.3 of one"
  if awk "BEGIN { exit !($four > 0 && $four <= 0.3 * $one) }"; then
    ok "$name: $four of $one MiB"
  else
    not_ok "$name" "$four of $one MiB"
  fi
done

# sent SEQ_LEN: bytes that rank 0 sends to others over cp in a step.
sent() {
  run 1 --dry-run "$deck" data.seq_len="$1" data.global_batch=1 data.valid="''" \
    model.pattern=MM- grid.n_ranks=4 grid.cp=4
  sed -n '/^sent per rank/,/^[^ ]/s/^  cp  *\([0-9]*\) .*/\1/p' out
}

short=$(sent 4096)
long=$(sent 65536)
name="Mamba layers send as much for 65536 tokens as for 4096"
if [ "${short:-0}" -gt 0 ] && [ "$short" = "$long" ]; then
  ok "$name: $short bytes"
else
  not_ok "$name" "${short:-none} and ${long:-none} bytes"
fi
finish
