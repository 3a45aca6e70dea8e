;; Answers, and loops when it is told that the answer was read.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\10\00\00\00\02\00\00\00")
    (data (i32.const 16) "ok")
    (func (export "run") (result i32) (i32.const 8))
    (func (export "post") (param i32) (loop $more (br $more))))
  (core instance $i (instantiate $m))
  (func (export "run") (result string)
    (canon lift (core func $i "run") (memory (core memory $i "memory")) (post-return (core func $i "post")))))
