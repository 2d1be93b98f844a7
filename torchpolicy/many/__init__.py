"""Many runs, each of them whole and in a process of its own."""
