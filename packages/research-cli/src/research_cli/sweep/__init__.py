"""`research-cli sweep`: train in many settings, and show the best."""
