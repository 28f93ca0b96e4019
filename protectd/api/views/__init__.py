"""What clients see of each noun: plain values, named as the contract names them."""
