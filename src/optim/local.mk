# src/optim: schedules, AdamW, reduction of gradients
src_libhymn_a_SOURCES += \
  src/optim/adamw.c src/optim/adamw.h \
  src/optim/bucket.c src/optim/bucket.h \
  src/optim/lr.c src/optim/lr.h \
  src/optim/trainer.c src/optim/trainer.h
