;; Declares all the memory there can be.
(component
  (core module $m (memory (export "memory") 65536) (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
