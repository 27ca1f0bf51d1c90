"""EC2: instances are hosts with systemd, networks are bridges, security groups are enforced."""
