inherited: set[tuple[int, int]]
