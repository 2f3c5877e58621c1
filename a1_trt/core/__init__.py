"""The method, pure: scheduler, conformal controllers and scores, prompts, answers, votes. No IO or clock."""
