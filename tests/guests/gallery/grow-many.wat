;; Several memories, each less than the limit, together more, every page of them written to.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "run")
      (if (i32.eq (memory.grow (i32.const 399)) (i32.const -1)) (then unreachable))
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 26214400))))
  (core instance $a (instantiate $m))
  (core instance $b (instantiate $m))
  (core instance $c (instantiate $m))
  (core module $all
    (import "a" "run" (func $a)) (import "b" "run" (func $b)) (import "c" "run" (func $c))
    (func (export "run") (call $a) (call $b) (call $c)))
  (core instance $i (instantiate $all
    (with "a" (instance $a)) (with "b" (instance $b)) (with "c" (instance $c))))
  (func (export "run") (canon lift (core func $i "run"))))
