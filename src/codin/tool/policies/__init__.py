"""What calls may do: policies as data, and approval."""
