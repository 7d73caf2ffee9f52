#!/usr/bin/env bash
# Makes policy.wasm of policy.c: a component that imports the contract and nothing else. It needs
#   zig cc       pip install -r requirements.txt
#   wasm-tools   cargo install wasm-tools@1, or jco in its place: npm install @bytecodealliance/jco@1.15.4
set -euo pipefail
cd "$(dirname "$0")"
# Zig gives a stack of 16 MiB, which is all the memory that a policy has.
"${PYTHON:-python3}" -m ziglang cc -target wasm32-wasi -mexec-model=reactor -std=c11 -Os -Wall -Wextra -Werror -g0 \
  -Wl,-z,stack-size=65536 -o core.wasm policy.c landfall.c bindings/policy.c bindings/policy_component_type.o
if command -v wasm-tools >/dev/null; then
  wasm-tools component new core.wasm -o policy.wasm
else
  "${JCO:-jco}" new core.wasm -o policy.wasm
fi
rm core.wasm
echo "policy.wasm: $(($(wc -c <policy.wasm) / 1024)) KiB"
