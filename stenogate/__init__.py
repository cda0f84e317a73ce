"""The client: streams a recording to Stenogate and shows what comes back. Imports nothing of the server."""
