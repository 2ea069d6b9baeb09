"""What other libraries call things, in the terms of this one."""
