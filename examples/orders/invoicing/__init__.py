"""Orders in, invoices out: each order is invoiced once, whatever fails on the way."""
