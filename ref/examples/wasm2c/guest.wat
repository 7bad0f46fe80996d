;; guest.wat: the guest of host.c: each task adds to a word of its own, task 13 stores past its memory.
(module
  (memory (export "memory") 1 4)
  (func (export "task") (param $id i32) (result i32)
    (local $at i32)
    (local.set $at (i32.shl (local.get $id) (i32.const 3)))
    (if (i32.eq (local.get $id) (i32.const 13))
      (then (i32.store (i32.mul (memory.size) (i32.const 65536)) (i32.const 1))))
    (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
    (i32.load (local.get $at)))
  (func (export "grow") (result i32)
    (memory.grow (i32.const 1))))
