"""Commands about oneself: registering, sessions, the password, what one asked for, what is held about one."""
