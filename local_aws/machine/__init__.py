"""What this machine lends to local AWS: containers, images, networks and firewall rules."""
