"""One module per service: check, convert, one store call, convert. Methods take the request message
and the `CallContext`, and return the response message; they raise `SpanloomError` and nothing else
on purpose."""
