"""A form as a fillable sheet, drawn from its Questionnaire."""
