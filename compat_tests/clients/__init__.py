"""Stock clients, used as their users use them."""
