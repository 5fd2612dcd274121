"""What is compared: architectures, training settings, canonical weights and the adapters of the frameworks.

Nothing in here knows of timing, noise or files; nothing but the adapters imports a framework.
"""
