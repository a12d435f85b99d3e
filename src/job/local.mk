# src/job: the command line and the jobs. A job is src/job/NAME.c here and a
# row in jobs.def.
src_libhymn_a_SOURCES += \
  src/job/bench.c \
  src/job/bench_ckpt.c \
  src/job/bench_data.c src/job/bench_data.h \
  src/job/bench_encode.c \
  src/job/bench_loader.c \
  src/job/compare.c \
  src/job/compare_reference.c src/job/compare_reference.h \
  src/job/export.c \
  src/job/generate.c \
  src/job/import.c \
  src/job/pretrain.c \
  src/job/train_data.c src/job/train_data.h \
  src/job/train_loop.c src/job/train_loop.h \
  src/job/post_mortem.c src/job/post_mortem.h \
  src/job/train_meter.c src/job/train_meter.h \
  src/job/train_save.c \
  src/job/train_setup.c src/job/train_setup.h \
  src/job/cli.c src/job/cli.h \
  src/job/dry_advice.c \
  src/job/dry_print.c src/job/dry_print.h \
  src/job/dry_run.c src/job/dry_run.h \
  src/job/dry_time.c \
  src/job/health.c src/job/health.h \
  src/job/inspect.c src/job/inspect.h \
  src/job/inspect_file.c src/job/inspect_file.h \
  src/job/jobs.c src/job/jobs.h \
  src/job/job.h
EXTRA_DIST += src/job/jobs.def

TESTS += src/job/test_cli.sh
EXTRA_DIST += src/job/test_cli.sh

dist_input_DATA += input/bench.nml input/bench-ckpt.nml input/bench-data.nml input/bench-nano.nml input/bench-scaling.nml input/pretrain.nml
# published architectures
dist_input_DATA += \
  input/lightning.nml input/nano.nml input/nano-512k.nml \
  input/nano-v2-9b.nml input/nano-v2-12b.nml input/nemotron-h-8b.nml \
  input/nemotron-h-47b.nml input/nemotron-h-56b.nml input/super.nml \
  input/super-1m.nml input/ultra.nml input/ultra-1m.nml
