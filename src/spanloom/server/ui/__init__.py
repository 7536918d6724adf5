"""The web page: its files, sign-in, and the door to the API for signed-in browsers."""
