# src/model
src_libhymn_a_SOURCES += \
  src/model/cfg.c src/model/cfg.h \
  src/model/cfg_table.c src/model/cfg_table.h \
  src/model/cfg_write.c
src_libhymn_a_SOURCES += \
  src/model/model.c src/model/model.h \
  src/model/params.c src/model/params.h \
  src/model/workspace.c src/model/workspace.h
