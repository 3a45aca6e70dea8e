// A plugin in Go, by the standard compiler. Its runtime starts in each call and reads the clock at once.
package main

import (
	"sync"
	"time"
)

//go:wasmexport sum
func sum(last uint32) uint64 {
	started := time.Now()
	if last == 0 {
		panic("nothing to add up")
	}
	numbers := make(chan uint64)
	var adding sync.WaitGroup
	for number := uint32(1); number <= last; number++ {
		adding.Add(1)
		go func() {
			defer adding.Done()
			numbers <- uint64(number)
		}()
	}
	go func() {
		adding.Wait()
		close(numbers)
	}()
	total := uint64(0)
	for number := range numbers {
		total += number
	}
	if time.Since(started) < 0 {
		panic("the clock went back")
	}
	return total
}

func main() {}
