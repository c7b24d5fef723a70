"""What helm does in K3s' helm job: values, charts, releases."""
