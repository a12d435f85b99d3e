/* cpu_kit.h: memory and array functions of the CPU backend (op/backend.h). */
#ifndef HYMN_CPU_CPU_KIT_H
#define HYMN_CPU_CPU_KIT_H

#include "op/tape.h"

extern const hy_mem cpu_mem;
extern const hy_kit cpu_kit;

#endif
