"""AgoraBench: how good is a language model at making training data?"""
