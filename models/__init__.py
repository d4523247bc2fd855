"""The learning core: contexts and prompts, teacher and student, KL, the integration loop, answers, metrics.

Knows torch, transformers, pydantic and the standard library; never prefect, mlflow, great_expectations or dvc.
"""
