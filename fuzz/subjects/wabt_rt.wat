;; wasm2c compiles memory.copy and memory.fill from this, for wabt_rt.c.
(module
  (import "host" "memory" (memory 0 65536))
  (func (export "copy") (param i32 i32 i32)
    (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "fill") (param i32 i32 i32)
    (memory.fill (local.get 0) (local.get 1) (local.get 2))))
