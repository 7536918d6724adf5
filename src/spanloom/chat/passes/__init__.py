"""The passes of the chat's pipeline, one rule each; `spanloom.chat.view` lists them in order."""
