"""What decides: delivery, domain, repositories, relay, jobs."""
