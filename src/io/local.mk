# src/io: weight folders, checkpoints
src_libhymn_a_SOURCES += \
  src/io/ckpt.h src/io/ckpt_impl.h \
  src/io/ckpt_find.c \
  src/io/ckpt_head.c \
  src/io/ckpt_inspect.c \
  src/io/ckpt_io.c \
  src/io/ckpt_read.c \
  src/io/ckpt_state.c \
  src/io/ckpt_write.c \
  src/io/h5.c src/io/h5.h \
  src/io/hf.c src/io/hf.h \
  src/io/hf_export.c \
  src/io/hf_files.c \
  src/io/hf_inspect.c \
  src/io/hf_plan.c src/io/hf_plan.h \
  src/io/history.c src/io/history.h \
  src/io/lineage.c src/io/lineage.h \
  src/io/piece.c src/io/piece.h \
  src/io/safetensors.c src/io/safetensors.h src/io/st_impl.h \
  src/io/safetensors_write.c \
  src/io/source.c src/io/source.h \
  src/io/st_folder.c
