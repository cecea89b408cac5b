"""relex: the best checkpoint that a short RLVR run can give, and the reasons for the choice."""

__version__ = "0.1.0"
