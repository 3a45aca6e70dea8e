module toolgate-tests/sums

go 1.24
