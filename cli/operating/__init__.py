"""Commands of the operator: the local stack, jobs, queues, dead letters, the books as a whole."""
