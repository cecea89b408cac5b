"""Where Prefect meets relex: each task is one stage, resumed through its manifest."""
