"""W&B Weave's shapes: agent chats, agents and feedback (docs/contracts/agent_chat.md)."""
