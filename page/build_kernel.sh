#!/bin/sh
# Compile the pages' arithmetic: sh page/build_kernel.sh [OUT]. Needs Debian's packages clang and lld.
# Nobody needs it to use or to build the pages: kernel.wasm is kept beside kernel.c.
set -eu
cd "$(dirname "$0")"
out="${1:-kernel.wasm}"
# SIMD of 128 bits; no sum is reordered, and no product fused with a sum, so that kernel.js can do the same.
clang --target=wasm32 -O3 -msimd128 -mnontrapping-fptoint -ffp-contract=off -fno-builtin -nostdlib \
  -Wall -Wextra -Wl,--no-entry,--import-memory,--stack-first,-z,stack-size=32768,--strip-all -o "$out" kernel.c
