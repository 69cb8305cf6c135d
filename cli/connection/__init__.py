"""Which server, as whom, and how it is asked: profiles' servers, sessions, environments, the HTTP client."""
