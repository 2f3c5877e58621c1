"""An OpenAI-compatible endpoint in front of the scheduler."""
