;; A list of a hundred thousand texts that are all the same megabyte.
(component
  (core module $m
    (memory (export "memory") 64)
    (func (export "run") (result i32)
      (local $at i32)
      (memory.fill (i32.const 2097152) (i32.const 97) (i32.const 1048576))
      (local.set $at (i32.const 64))
      (loop $more
        (i32.store (local.get $at) (i32.const 2097152))
        (i32.store offset=4 (local.get $at) (i32.const 1048576))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $more (i32.lt_u (local.get $at) (i32.const 800064))))
      (i32.store (i32.const 8) (i32.const 64))
      (i32.store (i32.const 12) (i32.const 100000))
      (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list string)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
