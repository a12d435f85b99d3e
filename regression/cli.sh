#!/bin/sh
# cli.sh: commands that answer without running a job, and what --dry-run says
# against what a run reports.
. "$(dirname "$0")/lib.sh"
deck=$top/input/pretrain.nml

# says NAME TEXT RANKS ARGS...: exit code 0 and a line with TEXT.
says() {
  name=$1 text=$2
  shift 2
  run "$@"
  if [ $rc = 0 ] && grep -q -- "$text" out; then
    ok "$name"
  else
    not_ok "$name" "exit code $rc, no '$text'"
  fi
}

says '--version' '^hymn [0-9]' 1 --version
says '--version names the codecs' '^zstd  ' 1 --version
says '--help' '^usage: hymn DECK' 1 --help
says '--keys' '^&optim ' 1 --keys
says '--keys GROUP' '^  lr  *real' 1 --keys optim
says '--check on 2 ranks' 'sum of 4 MiB over 2 ranks is right' 2 --check
says '--check with a deck' '^ok .*files: .*2 ranks wrote' 2 --check "$deck" \
  job.dir=checked
test_that '--check leaves nothing behind' test ! -e checked
run 2 --check "$deck" job.dir=/proc/none
test_that '--check finds a folder that cannot be made' test $rc = 5
for job in prepare tokenize pretrain generate import export compare; do
  says "--jobs names $job" "^ *$job " 1 --jobs
done

test_that 'doc/keys.txt is what --keys prints' \
  sh "$top/doc/keys.sh" --check "$hymn"

# every ready deck passes --dry-run once it is told the weights
unpack_cases
for f in "$top"/input/*.nml; do
  case ${f##*/} in
  import.nml | export.nml | compare.nml | generate.nml)
    test_run "--dry-run input/${f##*/}" 1 --dry-run "$f" \
      model.from="$cases/hybrid"
    ;;
  *) test_run "--dry-run input/${f##*/}" 1 --dry-run "$f" ;;
  esac
done
says '--dry-run of a layout far larger than this machine' \
  '^layout  1024 ranks = pp 1, dp 1024' 1 --dry-run "$deck" grid.n_ranks=1024
says '--dry-run counts parameters' '^ *parameters 236776, active' 1 \
  --dry-run "$deck"

# the arenas: what --dry-run says, what the run has used (within 5 %)
for layout in '1 1' '2 1' '1 4'; do
  n=${layout% *} micro=${layout#* }
  need 1 --dry-run "$deck" grid.n_ranks="$n" job.n_threads=1 \
    data.micro_batch="$micro"
  said=$(awk '/^  (activations|workspace) / { sum += $2 }
    END { printf "%.2f", sum / 1048576 }' out)
  need "$n" "$deck" job.dir=run.$n.$micro data.micro_batch="$micro" \
    log.plot=.false. ckpt.save_every=0 job.n_threads=1
  used=$(sed -n 's/.*arenas \([0-9.]*\) MiB used.*/\1/p' out)
  if awk -v a="$said" -v b="$used" \
    'BEGIN { exit !(b > 0 && a <= 1.05 * b + 0.05 && b <= 1.05 * a + 0.05) }'
  then
    ok "arenas, $n ranks, micro_batch $micro: $said MiB planned, $used used"
  else
    not_ok "arenas, $n ranks, micro_batch $micro" \
      "$said MiB planned, $used used"
  fi
done

# --inspect: weight folder, checkpoint, packed file
says '--inspect of a weight folder' 'tensors  *152' 1 --inspect "$cases/hybrid"
need 2 "$here/decks/prepare.nml" prepare.output=text.h5
says '--inspect of packed data' '^source .*books.jsonl' 1 --inspect text.h5
need 2 "$here/decks/text.nml" data.train=text.h5 job.dir=train \
  optim.n_steps=3 ckpt.save_every=3
says '--inspect of a checkpoint' '^state  *step 3, rows 12' 1 \
  --inspect train/step_0000003.h5
hash=$($hymn --inspect text.h5 | sed -n 's/^content hash *\([0-9a-f]*\).*/\1/p')
test_that 'its lineage names the packed data' eval \
  "'$hymn' --inspect train/step_0000003.h5 | grep -q 'lineage.*$hash\|$hash'"
test_that 'h5dump -H reads a checkpoint' eval \
  'h5dump -H train/step_0000003.h5 | grep -q H5T_IEEE_F32LE'

# what a run leaves behind
test_that 'history.csv has the agreed columns' eval "head -n 1 \
  train/history.csv | grep -q '^step,tokens,loss,valid_loss,lr,gnorm,tok_s,tflops,mem'"
test_that 'resolved.nml is in the run directory' test -s train/resolved.nml
if command -v gnuplot >/dev/null; then
  need 1 "$here/decks/mlp.nml" job.dir=plot log.plot=.true.
  test_that 'loss.png is drawn' test -s plot/loss.png
fi
need 1 "$here/decks/mlp.nml" job.dir=step
cp out step.out
test_that 'step lines have the agreed columns' grep -Eq \
  '^step 1/12  loss [0-9.]+  lr [0-9.e+-]+  gnorm [0-9.]+  tok/s [0-9]+  TFLOP/s [0-9.]+  mem [0-9.]+ GiB  eta [0-9:]+' \
  step.out
finish
