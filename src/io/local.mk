# src/io: weight folders, checkpoints
src_libhymn_a_SOURCES += \
  src/io/hf.c src/io/hf.h \
  src/io/piece.c src/io/piece.h \
  src/io/safetensors.c src/io/safetensors.h src/io/st_impl.h \
  src/io/safetensors_write.c \
  src/io/st_folder.c
