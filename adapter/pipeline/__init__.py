"""The four verbs: accept, prepare, dispatch, settle. Start reading at `verbs`."""
