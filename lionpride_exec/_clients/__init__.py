"""What an error of a client library says: its status, and how long the other side asks to wait."""
