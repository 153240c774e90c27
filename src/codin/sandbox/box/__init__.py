"""What every sandbox of this machine is made of: a workspace, and boxes around commands."""
